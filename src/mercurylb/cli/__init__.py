"""The operator's command: asks the same decisions as the daemons, and explains them."""

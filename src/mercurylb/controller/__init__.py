"""The controller: gives addresses to services, and says why where it cannot."""

package main

import (
	"bytes"
	"crypto/sha256"
)

// Tell for each address which of the live members is first: the smallest digest of name#address.
func owners(nodes []node, addresses []string) map[string]string {
	found := map[string]string{}
	for _, address := range addresses {
		var least [sha256.Size]byte
		for _, n := range nodes {
			digest := sha256.Sum256([]byte(n.Name + "#" + address))
			if found[address] == "" || bytes.Compare(digest[:], least[:]) < 0 {
				found[address], least = n.Name, digest
			}
		}
	}
	return found
}

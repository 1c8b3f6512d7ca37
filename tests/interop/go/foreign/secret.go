package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/url"
)

// EnsureSecret makes the membership's secret unless it exists; it belongs to the Deployment.
func ensureSecret(c *cluster, namespace, name, deployment string) error {
	secrets := "/api/v1/namespaces/" + namespace + "/secrets"
	found, _, err := c.list(secrets + "?fieldSelector=" + url.QueryEscape("metadata.name="+name))
	if err != nil || len(found) > 0 {
		return err
	}
	answer, err := c.ask("GET", "/apis/apps/v1/namespaces/"+namespace+"/deployments/"+deployment, "application/json", nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	var owner struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	if err := json.NewDecoder(answer).Decode(&owner); err != nil {
		return err
	}
	key := make([]byte, 16)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	reference := map[string]string{"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment, "uid": owner.Metadata.UID}
	body, _ := json.Marshal(map[string]any{
		"apiVersion": "v1",
		"kind":       "Secret",
		"metadata":   map[string]any{"name": name, "ownerReferences": []any{reference}},
		"stringData": map[string]string{"secretkey": base64.RawStdEncoding.EncodeToString(key)},
	})
	made, err := c.ask("POST", secrets, "application/json", body)
	if err != nil {
		return err
	}
	made.Close()
	say("secret.made", map[string]any{"name": name})
	return nil
}

//go:build tools

// Package main names the programs of frr-k8s that the lab builds, so that go.mod stays complete.
package main

import (
	_ "github.com/metallb/frr-k8s/cmd/frr-k8s-controller"
	_ "github.com/metallb/frr-k8s/cmd/metrics"
	_ "github.com/metallb/frr-k8s/cmd/status"
	_ "github.com/metallb/frr-k8s/cmd/statuscleaner"
)

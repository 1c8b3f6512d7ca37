package main

import (
	"bytes"
	"crypto/sha256"
	"log"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/hashicorp/memberlist"
)

const leaveFor = time.Second

// Speak is MetalLB's order of things: the membership listens first, answers for nothing, learns the
// cluster, and joins the others; from then on every change has all services looked at again.
func speak(c *cluster, namespace, node string, stop <-chan os.Signal) error {
	bell := make(chan struct{}, 1)
	list, err := memberlist.Create(membership(node, bell))
	if err != nil {
		return err
	}
	wire, err := listen()
	if err != nil {
		return err
	}
	services := c.follow("/api/v1/services", bell)
	slices := c.follow("/apis/discovery.k8s.io/v1/endpointslices", bell)
	join(c, list, namespace)
	serveProbes("127.0.0.1:17472")
	for {
		select {
		case <-stop:
			say("leaving", nil)
			err := list.Leave(leaveFor)
			say("left", nil)
			_ = list.Shutdown()
			return err
		case <-bell:
			wire.announce(elected(node, list.Members(), services.all(), slices.all()))
		}
	}
}

// Join calls the pods that are labelled as speakers; a server that is just starting may refuse.
func join(c *cluster, list *memberlist.Memberlist, namespace string) {
	selector := "?labelSelector=" + url.QueryEscape(os.Getenv("METALLB_ML_LABELS"))
	pods, _, err := c.list("/api/v1/namespaces/" + namespace + "/pods" + selector)
	for ; err != nil; time.Sleep(500 * time.Millisecond) {
		say("join.again", map[string]any{"error": err.Error()})
		pods, _, err = c.list("/api/v1/namespaces/" + namespace + "/pods" + selector)
	}
	var others []string
	for _, pod := range pods {
		if pod.Status.PodIP != "" && pod.Status.PodIP != os.Getenv("METALLB_ML_BIND_ADDR") {
			others = append(others, pod.Status.PodIP)
		}
	}
	count, _ := list.Join(others)
	say("joined", map[string]any{"count": count, "of": len(others)})
}

func membership(node string, bell chan<- struct{}) *memberlist.Config {
	config := memberlist.DefaultLANConfig()
	config.Name = node
	config.BindAddr = os.Getenv("METALLB_ML_BIND_ADDR")
	config.AdvertiseAddr = config.BindAddr
	if port, err := strconv.Atoi(os.Getenv("METALLB_ML_BIND_PORT")); err == nil {
		config.BindPort, config.AdvertisePort = port, port
	}
	if folder := os.Getenv("METALLB_ML_SECRET_KEY_PATH"); folder != "" {
		secret, err := os.ReadFile(filepath.Join(folder, "secretkey"))
		if err != nil {
			fail(err)
		}
		key := sha256.Sum256(secret)
		config.SecretKey = key[:]
	}
	config.Logger = log.New(os.Stderr, "", log.Lmicroseconds)
	config.Events = events{bell}
	return config
}

type events struct{ bell chan<- struct{} }

func (e events) NotifyJoin(n *memberlist.Node)   { e.tell("join", n) }
func (e events) NotifyLeave(n *memberlist.Node)  { e.tell("leave", n) }
func (e events) NotifyUpdate(n *memberlist.Node) { e.tell("update", n) }

func (e events) tell(what string, n *memberlist.Node) {
	say("member."+what, map[string]any{"member": n.Name})
	ring(e.bell)
}

// Elected gives the addresses for which this node is the first of all members.
func elected(node string, members []*memberlist.Node, services, slices map[string]object) map[string]bool {
	served := map[string]bool{}
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready, serving := endpoint.Conditions.Ready, endpoint.Conditions.Serving
			if ready == nil || *ready || (serving != nil && *serving) {
				name := slice.Metadata.Labels["kubernetes.io/service-name"]
				served[slice.Metadata.Namespace+"/"+name] = true
			}
		}
	}
	mine := map[string]bool{}
	for key, service := range services {
		entries := service.Status.LoadBalancer.Ingress
		if service.Spec.Type != "LoadBalancer" || len(entries) == 0 || !served[key] {
			continue
		}
		if first(members, entries[0].IP) == node {
			for _, entry := range entries {
				mine[entry.IP] = true
			}
		}
	}
	return mine
}

func first(members []*memberlist.Node, address string) string {
	var name string
	var least [sha256.Size]byte
	for _, member := range members {
		digest := sha256.Sum256([]byte(member.Name + "#" + address))
		if name == "" || bytes.Compare(digest[:], least[:]) < 0 {
			name, least = member.Name, digest
		}
	}
	return name
}

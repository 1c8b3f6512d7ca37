package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sort"
	"strings"
)

// Control gives each service of type LoadBalancer the first free address, and leaves what is given.
func control(c *cluster, namespace string, stop <-chan os.Signal) error {
	if name := os.Getenv("METALLB_ML_SECRET_NAME"); name != "" {
		if err := ensureSecret(c, namespace, name, os.Getenv("METALLB_DEPLOYMENT")); err != nil {
			return err
		}
	}
	bell := make(chan struct{}, 1)
	services := c.follow("/api/v1/services", bell)
	pools := c.follow("/apis/metallb.io/v1beta1/namespaces/"+namespace+"/ipaddresspools", bell)
	serveProbes(":17472")
	for {
		select {
		case <-stop:
			return nil
		case <-bell:
			for _, service := range waiting(services.all()) {
				assign(c, service, services.all(), pools.all())
			}
		}
	}
}

func waiting(services map[string]object) []object {
	var found []object
	for _, each := range services {
		if each.Spec.Type == "LoadBalancer" && len(each.Status.LoadBalancer.Ingress) == 0 {
			found = append(found, each)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].key() < found[j].key() })
	return found
}

var given = map[string]string{} // What was given and may not have come back by the watch yet.

func assign(c *cluster, service object, services, pools map[string]object) {
	taken := map[string]bool{}
	for _, each := range services {
		for _, entry := range each.Status.LoadBalancer.Ingress {
			taken[entry.IP] = true
		}
	}
	for key, address := range given {
		if each, ok := services[key]; !ok || len(each.Status.LoadBalancer.Ingress) > 0 {
			delete(given, key)
		} else {
			taken[address] = true
		}
	}
	if _, ok := given[service.key()]; ok {
		return
	}
	address := free(pools, taken)
	if address == "" {
		return
	}
	entries := []map[string]string{{"ip": address}}
	body, _ := json.Marshal(map[string]any{"status": map[string]any{"loadBalancer": map[string]any{"ingress": entries}}})
	path := fmt.Sprintf("/api/v1/namespaces/%s/services/%s/status", service.Metadata.Namespace, service.Metadata.Name)
	answer, err := c.ask("PATCH", path, "application/merge-patch+json", body)
	if err != nil {
		say("assign.refused", map[string]any{"error": err.Error()})
		return
	}
	answer.Close()
	given[service.key()] = address
	say("assigned", map[string]any{"service": service.key(), "ip": address})
}

func free(pools map[string]object, taken map[string]bool) string {
	for _, pool := range pools {
		for _, text := range pool.Spec.Addresses {
			low, high, err := bounds(text)
			if err != nil {
				continue
			}
			for number := low; number <= high; number++ {
				address := net.IP(binary.BigEndian.AppendUint32(nil, number)).String()
				if !taken[address] {
					return address
				}
			}
		}
	}
	return ""
}

func bounds(text string) (uint32, uint32, error) {
	if first, last, isRange := strings.Cut(text, "-"); isRange {
		low, err := netip.ParseAddr(strings.TrimSpace(first))
		if err != nil {
			return 0, 0, err
		}
		high, err := netip.ParseAddr(strings.TrimSpace(last))
		if err != nil || !low.Is4() || !high.Is4() {
			return 0, 0, fmt.Errorf("no range of IPv4: %q", text)
		}
		return number(low), number(high), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil || !prefix.Addr().Is4() {
		return 0, 0, fmt.Errorf("no prefix of IPv4: %q", text)
	}
	low := number(prefix.Masked().Addr())
	return low, low + uint32(1)<<(32-prefix.Bits()) - 1, nil
}

func number(address netip.Addr) uint32 {
	octets := address.As4()
	return binary.BigEndian.Uint32(octets[:])
}

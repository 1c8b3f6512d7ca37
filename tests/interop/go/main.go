// Gossip runs members of the original library and obeys commands.
//
// A command is one JSON object per line on standard input; its answer has the same id and comes as
// one line on standard output. Between answers come events: members that the library reports.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// A command; which fields matter depends on Do.
type command struct {
	ID        int      `json:"id"`
	Do        string   `json:"do"`
	Name      string   `json:"name"`
	Bind      string   `json:"bind"`
	Port      int      `json:"port"`
	Key       []byte   `json:"key"`
	Label     string   `json:"label"`
	Compress  bool     `json:"compress"`
	Meta      []byte   `json:"meta"`
	Timing    timing   `json:"timing"`
	Addresses []string `json:"addresses"`
	Data      []byte   `json:"data"`
	TimeoutMs int      `json:"timeout_ms"`
}

// What the profile of the library is changed to; zero leaves a value alone.
type timing struct {
	ProbeIntervalMs    int `json:"probe_interval_ms"`
	ProbeTimeoutMs     int `json:"probe_timeout_ms"`
	GossipIntervalMs   int `json:"gossip_interval_ms"`
	PushPullIntervalMs int `json:"push_pull_interval_ms"`
	GossipToTheDeadMs  int `json:"gossip_to_the_dead_ms"`
	TCPTimeoutMs       int `json:"tcp_timeout_ms"`
	SuspicionMult      int `json:"suspicion_mult"`
}

type node struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Port    uint16 `json:"port"`
	State   int    `json:"state"`
	Meta    []byte `json:"meta"`
}

type answer struct {
	ID     int               `json:"id"`
	Error  string            `json:"error,omitempty"`
	Count  int               `json:"count"`
	Nodes  []node            `json:"nodes,omitempty"`
	Owners map[string]string `json:"owners,omitempty"`
	Data   []byte            `json:"data,omitempty"`
	Health int               `json:"health"`
}

type event struct {
	Event  string `json:"event"`
	Member string `json:"member"`
	Node   string `json:"node"`
}

// A member of the library with what it tells the library about itself.
type member struct {
	list *memberlist.Memberlist
	name string
	mu   sync.Mutex
	meta []byte
}

var (
	outputLock sync.Mutex
	output     = json.NewEncoder(os.Stdout)
	members    = map[string]*member{}
	membersMu  sync.Mutex
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<24)
	for lines.Scan() {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			say(answer{Error: err.Error()})
			continue
		}
		go func() {
			a, err := obey(c)
			a.ID = c.ID
			if err != nil {
				a.Error = err.Error()
			}
			say(a)
		}()
	}
}

func say(what any) {
	outputLock.Lock()
	defer outputLock.Unlock()
	_ = output.Encode(what)
}

func obey(c command) (answer, error) {
	switch c.Do {
	case "start":
		return answer{}, start(c)
	case "compress":
		return compressed(c.Data)
	case "decompress":
		return decompressed(c.Data)
	}
	m, err := find(c.Name)
	if err != nil {
		return answer{}, err
	}
	wait := time.Duration(c.TimeoutMs) * time.Millisecond
	switch c.Do {
	case "join":
		count, err := m.list.Join(c.Addresses)
		return answer{Count: count}, err
	case "meta":
		m.setMeta(c.Meta)
		return answer{}, m.list.UpdateNode(wait)
	case "list":
		return answer{Nodes: m.nodes(), Health: m.list.GetHealthScore()}, nil
	case "owners":
		return answer{Owners: owners(m.nodes(), c.Addresses)}, nil
	case "leave":
		err := m.list.Leave(wait)
		forget(c.Name)
		return answer{}, combined(err, m.list.Shutdown())
	case "shutdown":
		forget(c.Name)
		return answer{}, m.list.Shutdown()
	}
	return answer{}, fmt.Errorf("no command %q", c.Do)
}

func combined(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func find(name string) (*member, error) {
	membersMu.Lock()
	defer membersMu.Unlock()
	m := members[name]
	if m == nil {
		return nil, fmt.Errorf("no member %q", name)
	}
	return m, nil
}

func forget(name string) {
	membersMu.Lock()
	defer membersMu.Unlock()
	delete(members, name)
}

func start(c command) error {
	m := &member{name: c.Name, meta: c.Meta}
	config := memberlist.DefaultLANConfig()
	config.Name = c.Name
	config.BindAddr, config.AdvertiseAddr = c.Bind, c.Bind
	config.BindPort, config.AdvertisePort = c.Port, c.Port
	config.SecretKey = c.Key
	config.Label = c.Label
	config.EnableCompression = c.Compress
	config.Delegate = m
	config.Events = m
	config.Logger = log.New(os.Stderr, c.Name+" ", log.Lmicroseconds)
	for _, change := range []struct {
		milliseconds int
		where        *time.Duration
	}{
		{c.Timing.ProbeIntervalMs, &config.ProbeInterval},
		{c.Timing.ProbeTimeoutMs, &config.ProbeTimeout},
		{c.Timing.GossipIntervalMs, &config.GossipInterval},
		{c.Timing.PushPullIntervalMs, &config.PushPullInterval},
		{c.Timing.GossipToTheDeadMs, &config.GossipToTheDeadTime},
		{c.Timing.TCPTimeoutMs, &config.TCPTimeout},
	} {
		if change.milliseconds > 0 {
			*change.where = time.Duration(change.milliseconds) * time.Millisecond
		}
	}
	if c.Timing.SuspicionMult > 0 {
		config.SuspicionMult = c.Timing.SuspicionMult
	}
	list, err := memberlist.Create(config)
	if err != nil {
		return err
	}
	m.list = list
	membersMu.Lock()
	defer membersMu.Unlock()
	members[c.Name] = m
	return nil
}

func (m *member) nodes() []node {
	var found []node
	for _, n := range m.list.Members() {
		found = append(found, node{n.Name, n.Addr.String(), n.Port, int(n.State), n.Meta})
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	return found
}

func (m *member) setMeta(meta []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.meta = meta
}

// What the library asks its user about; MetalLB has no such user, so only metadata is answered.

func (m *member) NodeMeta(int) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meta
}
func (m *member) NotifyMsg([]byte)                {}
func (m *member) GetBroadcasts(int, int) [][]byte { return nil }
func (m *member) LocalState(bool) []byte          { return nil }
func (m *member) MergeRemoteState([]byte, bool)   {}

func (m *member) NotifyJoin(n *memberlist.Node)   { say(event{"join", m.name, n.Name}) }
func (m *member) NotifyLeave(n *memberlist.Node)  { say(event{"leave", m.name, n.Name}) }
func (m *member) NotifyUpdate(n *memberlist.Node) { say(event{"update", m.name, n.Name}) }

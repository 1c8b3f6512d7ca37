package main

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lan        = "eth0"
	burst      = 5 * time.Second
	burstEvery = 1100 * time.Millisecond
	frameBytes = 60
	arpType    = 0x0806
	request    = 1
	reply      = 2
)

var broadcast = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// A wire answers ARP on the node's interface for what is announced.
type wire struct {
	socket int
	mac    []byte

	mu    sync.Mutex
	until map[netip.Addr]time.Time // When the gratuitous burst of an announced address ends.
}

func listen() (*wire, error) {
	device, err := net.InterfaceByName(lan)
	if err != nil {
		return nil, err
	}
	protocol := uint16(arpType>>8 | arpType&0xff<<8)
	socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(protocol))
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: device.Index}); err != nil {
		return nil, err
	}
	w := &wire{socket: socket, mac: device.HardwareAddr, until: map[netip.Addr]time.Time{}}
	go w.answer()
	go w.repeat()
	return w, nil
}

// Announce takes all addresses that are ours now: each look at one begins or extends its burst.
func (w *wire) announce(mine map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, wanted := time.Now(), map[netip.Addr]bool{}
	for text := range mine {
		address, err := netip.ParseAddr(text)
		if err != nil || !address.Is4() {
			continue
		}
		wanted[address] = true
		end, known := w.until[address]
		if !known {
			say("announced", map[string]any{"ip": text})
		}
		if !known || end.Before(now) {
			w.gratuitous(address)
		}
		w.until[address] = now.Add(burst)
	}
	for address := range w.until {
		if !wanted[address] {
			say("withdrawn", map[string]any{"ip": address.String()})
			delete(w.until, address)
		}
	}
}

func (w *wire) repeat() {
	for range time.Tick(burstEvery) {
		w.mu.Lock()
		for address, end := range w.until {
			if time.Now().Before(end) {
				w.gratuitous(address)
			}
		}
		w.mu.Unlock()
	}
}

func (w *wire) gratuitous(address netip.Addr) {
	for _, operation := range []byte{request, reply} {
		w.send(broadcast, operation, address, broadcast, address)
	}
}

func (w *wire) answer() {
	frame := make([]byte, 128)
	for {
		count, _, err := unix.Recvfrom(w.socket, frame, 0)
		if err == unix.EINTR || err == unix.ENETDOWN { // The link comes back.
			continue
		}
		if err != nil {
			fail(err)
		}
		if count < 42 || frame[21] != request {
			continue
		}
		if !bytes.Equal(frame[:6], broadcast) && !bytes.Equal(frame[:6], w.mac) {
			continue
		}
		asker, target := netip.AddrFrom4([4]byte(frame[28:32])), netip.AddrFrom4([4]byte(frame[38:42]))
		w.mu.Lock()
		_, isOurs := w.until[target]
		w.mu.Unlock()
		if isOurs {
			w.send(frame[22:28], reply, target, frame[22:28], asker)
		}
	}
}

// Send makes one frame: who has which address, told to a station.
func (w *wire) send(to []byte, operation byte, ours netip.Addr, theirMAC []byte, theirs netip.Addr) {
	frame := make([]byte, 0, frameBytes)
	frame = append(append(frame, to...), w.mac...)
	frame = append(frame, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation)
	from, other := ours.As4(), theirs.As4()
	frame = append(append(frame, w.mac...), from[:]...)
	frame = append(append(frame, theirMAC...), other[:]...)
	_, _ = unix.Write(w.socket, frame[:frameBytes])
}

//go:build ignore

// A client of a Portcullis kcp listener, by kcp-go: Debian's golang-github-xtaci-kcp-dev, or as a module
// github.com/xtaci/kcp-go/v5, whose calls are the same.
//
//	go run kcp.go HOST:PORT KEY MESSAGE...
//
// Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.
//
// No cipher (nil), and 3 parity datagrams after 10: the listener takes any numbers, and answers with these. In the
// stream stands what a tcp client says: uint32 little-endian length and key; the answer is length and "ok", or
// length and "error"; then the endpoint's bytes as they are. KCP tells no end: silence is one.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/xtaci/kcp-go"
)

const (
	patience  = 30 * time.Second // the gateway answers a hello within 20
	answerMax = 4096
)

// sayHello says where we belong, and returns once the endpoint is open.
func sayHello(gate io.Writer, from io.Reader, key string) error {
	hello := binary.LittleEndian.AppendUint32(nil, uint32(len(key)))
	if _, err := gate.Write(append(hello, key...)); err != nil {
		return err
	}
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length > answerMax {
		return fmt.Errorf("an answer of %d bytes", length)
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(from, answer); err != nil {
		return err
	}
	if string(answer) != "ok" {
		return fmt.Errorf("refused: %s", answer)
	}
	return nil
}

func run(address, key string, messages []string) error {
	gate, err := kcp.DialWithOptions(address, nil, 10, 3)
	if err != nil {
		return err
	}
	defer gate.Close()
	gate.SetNoDelay(1, 20, 2, 1) // the gateway's preset fast2
	gate.SetWindowSize(256, 256)
	gate.SetStreamMode(true)
	gate.SetDeadline(time.Now().Add(patience))
	from := bufio.NewReader(gate)
	if err := sayHello(gate, from, key); err != nil {
		return err
	}
	for _, message := range messages {
		gate.SetDeadline(time.Now().Add(patience))
		if _, err := gate.Write([]byte(message + "\n")); err != nil {
			return err
		}
		line, err := from.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the session ended: %w", err)
		}
		fmt.Print(line)
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: kcp HOST:PORT KEY MESSAGE...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

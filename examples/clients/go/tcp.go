//go:build ignore

// A client of a Portcullis tcp listener. Needs nothing but Go.
//
//	go run tcp.go HOST:PORT KEY MESSAGE...
//
// Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.
//
// On the wire, lengths are uint32, little endian:
//
//	client    length, key in UTF-8
//	gateway   length, "ok"             or: length, "error", and the end
//	then      the endpoint's bytes both ways, as they are
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const (
	patience  = 30 * time.Second // the gateway answers a hello within 20
	answerMax = 4096
)

// sayHello says where we belong, and returns once the endpoint is open.
func sayHello(gate net.Conn, from io.Reader, key string) error {
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
		// It never says why: its log does.
		return fmt.Errorf("refused: %s", answer)
	}
	return nil
}

func run(address, key string, messages []string) error {
	gate, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return err
	}
	defer gate.Close()
	gate.SetDeadline(time.Now().Add(patience))
	// What comes right behind the answer is the endpoint's: one reader for both.
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
		fmt.Fprintln(os.Stderr, "usage: tcp HOST:PORT KEY MESSAGE...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

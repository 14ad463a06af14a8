//go:build ignore

// A client of a Portcullis ws listener, by golang.org/x/net/websocket (Debian's golang-golang-x-net-dev).
//
//	go run ws.go [-by header|protocol|query] HOST:PORT KEY MESSAGE...
//
// Sends each message as a line and prints the line that comes back. Ends with 1 when the gateway refuses the key.
//
// The key stands in the upgrade: in the header server-identify, as the second sub-protocol in base64url, or in the
// query. The gateway's first message is "ok"; or "error", and a close with code 1008. Then payload is the endpoint's
// bytes as they are: where a message ends is arbitrary.
package main

import (
	"bufio"
	"encoding/base64"
	"flag"
	"fmt"
	"net/url"
	"os"
	"time"

	"golang.org/x/net/websocket"
)

const (
	name     = "server-identify"
	patience = 30 * time.Second // the gateway answers a hello within 20
)

// upgrade asks for a WebSocket and says the key in one of its three places.
func upgrade(address, key, by string) (*websocket.Conn, error) {
	target := "ws://" + address + "/"
	if by == "query" {
		target += "?" + name + "=" + url.QueryEscape(key)
	}
	config, err := websocket.NewConfig(target, "http://"+address)
	if err != nil {
		return nil, err
	}
	switch by {
	case "header":
		config.Header.Set(name, key)
	case "protocol":
		config.Protocol = []string{name, base64.RawURLEncoding.EncodeToString([]byte(key))}
	}
	return websocket.DialConfig(config)
}

func run(address, key, by string, messages []string) error {
	gate, err := upgrade(address, key, by)
	if err != nil {
		return err
	}
	defer gate.Close()
	gate.SetDeadline(time.Now().Add(patience))
	var answer []byte
	if err := websocket.Message.Receive(gate, &answer); err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if string(answer) != "ok" {
		// It never says why: its log does.
		return fmt.Errorf("refused: %s", answer)
	}
	from := bufio.NewReader(gate)
	for _, message := range messages {
		gate.SetDeadline(time.Now().Add(patience))
		if err := websocket.Message.Send(gate, message+"\n"); err != nil {
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
	by := flag.String("by", "header", "where the key stands: header, protocol or query")
	flag.Parse()
	if flag.NArg() < 2 || (*by != "header" && *by != "protocol" && *by != "query") {
		fmt.Fprintln(os.Stderr, "usage: ws [-by header|protocol|query] HOST:PORT KEY MESSAGE...")
		os.Exit(2)
	}
	if err := run(flag.Arg(0), flag.Arg(1), *by, flag.Args()[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

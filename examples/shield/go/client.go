//go:build ignore

// A client of a Portcullis listener in frame mode, with device tokens when it is given a file to keep one in.
//
//	go run client.go [-type-bytes 2] [-ca FILE] [-tokens FILE -id ID] HOST:PORT MESSAGE...
//
// Sends each message as a request frame and prints the answer's payload; between them a heartbeat. Nothing but Go's
// own library. A frame, big endian: version u8, type u8 (or u16), length u16, [token, with version 2,] payload.
package main

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

const patience = 20 * time.Second

// types are the numbers of the gateway's own messages, and that of a request.
type types struct{ heartbeat, heartbeatReply, request, register, token, login, fault uint16 }

var numbers = map[int]types{
	1: {1, 2, 20, 10, 11, 12, 19},
	2: {1000, 1001, 2000, 1100, 1101, 1102, 1199},
}

// kept is what a device keeps between sessions.
type kept struct {
	Token     string `json:"token"`
	ExpiresAt int64  `json:"expires_at"`
}

type session struct {
	gate  net.Conn
	from  *bufio.Reader
	wide  int
	types types
	token []byte // 16 bytes, or none
	file  string
}

func (s *session) send(kind uint16, payload []byte) error {
	version := byte(1)
	if s.token != nil && kind == s.types.request {
		version = 2
	}
	frame := []byte{version}
	if s.wide == 1 {
		frame = append(frame, byte(kind))
	} else {
		frame = binary.BigEndian.AppendUint16(frame, kind)
	}
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(payload)))
	if version == 2 {
		frame = append(frame, s.token...)
	}
	s.gate.SetDeadline(time.Now().Add(patience))
	_, err := s.gate.Write(append(frame, payload...))
	return err
}

func (s *session) read() (kind uint16, payload []byte, err error) {
	head := make([]byte, 3+s.wide)
	if _, err = io.ReadFull(s.from, head); err != nil {
		return 0, nil, fmt.Errorf("the session ended: %w", err)
	}
	if s.wide == 1 {
		kind = uint16(head[1])
	} else {
		kind = binary.BigEndian.Uint16(head[1:])
	}
	payload = make([]byte, binary.BigEndian.Uint16(head[1+s.wide:]))
	_, err = io.ReadFull(s.from, payload)
	return kind, payload, err
}

// ask sends a frame and returns the payload of the answer, which must be of the wanted type.
func (s *session) ask(kind uint16, payload []byte, want uint16) ([]byte, error) {
	if err := s.send(kind, payload); err != nil {
		return nil, err
	}
	got, answer, err := s.read()
	if err == nil && got != want {
		err = fmt.Errorf("refused: %s", answer)
	}
	return answer, err
}

// keep writes a token to the file, and only then uses it: a token that is used makes the one before it worthless.
func (s *session) keep(answer []byte) error {
	var told kept
	if err := json.Unmarshal(answer, &told); err != nil || told.Token == "" {
		return err
	}
	text, _ := json.Marshal(told)
	if err := os.WriteFile(s.file+".new", text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(s.file+".new", s.file); err != nil {
		return err
	}
	return s.use(told.Token)
}

func (s *session) use(token string) (err error) {
	s.token, err = hex.DecodeString(strings.ReplaceAll(token, "-", ""))
	return err
}

// enter registers a device that has no token, and logs in one that has.
func (s *session) enter(id string) error {
	digest := sha256.Sum256([]byte(id))
	name := hex.EncodeToString(digest[:])
	text, err := os.ReadFile(s.file)
	if os.IsNotExist(err) {
		body, _ := json.Marshal(map[string]string{"client_id": name})
		answer, err := s.ask(s.types.register, body, s.types.token)
		if err != nil {
			return err
		}
		return s.keep(answer)
	}
	var known kept
	if err := json.Unmarshal(text, &known); err != nil {
		return err
	}
	body, _ := json.Marshal(map[string]string{"client_id": name, "token": known.Token})
	if _, err := s.ask(s.types.login, body, s.types.token); err != nil {
		return err
	}
	return s.use(known.Token)
}

func dial(address, ca string) (net.Conn, error) {
	if ca == "" {
		return net.DialTimeout("tcp", address, patience)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", ca)
	}
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, &tls.Config{RootCAs: pool})
}

func run(address, ca, file, id string, wide int, messages []string) error {
	gate, err := dial(address, ca)
	if err != nil {
		return err
	}
	defer gate.Close()
	s := &session{gate: gate, from: bufio.NewReader(gate), wide: wide, types: numbers[wide], file: file}
	if file != "" {
		if err := s.enter(id); err != nil {
			return err
		}
	}
	for _, message := range messages {
		body, _ := json.Marshal(map[string]string{"message": message})
		answer, err := s.ask(s.types.request, body, s.types.request)
		if err != nil {
			return err
		}
		fmt.Println(string(answer))
		beat, err := s.ask(s.types.heartbeat, nil, s.types.heartbeatReply)
		if err == nil && file != "" {
			err = s.keep(beat)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	wide := flag.Int("type-bytes", 1, "how wide a frame's type is")
	ca := flag.String("ca", "", "speak TLS, and trust this certificate")
	file := flag.String("tokens", "", "keep the device's token here; without it the device shows none")
	id := flag.String("id", "", "what stays the same for the device's life, such as its MAC address")
	flag.Parse()
	if flag.NArg() < 1 || numbers[*wide] == (types{}) {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *ca, *file, *id, *wide, flag.Args()[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

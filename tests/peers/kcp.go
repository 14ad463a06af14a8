// A foreign KCP peer on kcp-go: client, server, and a plain gateway to measure against.
//
//	kcp client  -to ADDR [-hello KEY] -mode up|down|echo -bytes N      bulk, checked by SHA-256
//	kcp client  -to ADDR [-hello KEY] -messages N -size S -pace D      messages, asked one after the other
//	kcp server  [-listen ADDR]                                         answers both kinds
//	kcp gateway [-listen ADDR] [-target ADDR]                          kcp in, tcp out
//
// A client prints one line of JSON. The others print {"address":…} first and a line of totals when their
// standard input ends, so that none outlives the test that started it.
//
// A request is: kind u8 ('u', 'd', 'e'; in capitals the content is zeros and nobody hashes), length u64le,
// seed u64le. 'u': that many bytes follow and their SHA-256 comes back; 'd': that many come back; 'e': each
// comes back. tests/src/exam.rs is the same service on TCP.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/xtaci/kcp-go"
)

// Report is what a client says at its end. Sums and times are over all sessions, the digests are the first's.
type Report struct {
	OK           bool    `json:"ok"`
	Failed       int     `json:"failed"`
	Error        string  `json:"error"`
	Refused      string  `json:"refused"`
	SHASent      string  `json:"sha_sent"`
	SHAReceived  string  `json:"sha_received"`
	Sessions     int     `json:"sessions"`
	Messages     int     `json:"messages"`
	Bytes        int64   `json:"bytes"`
	Seconds      float64 `json:"seconds"`
	P50          float64 `json:"rtt_p50_ms"`
	P99          float64 `json:"rtt_p99_ms"`
	P999         float64 `json:"rtt_p999_ms"`
	Max          float64 `json:"rtt_max_ms"`
	Retransmits  uint64  `json:"retransmits"`
	FECRecovered uint64  `json:"fec_recovered"`
}

// Client is what every session of a client does.
type Client struct {
	link            *Link
	to, hello, mode string
	bytes, seed     uint64
	messages, size  int
	pace, timeout   time.Duration
}

// Result is how one session ended.
type Result struct {
	err            error
	refused        string
	sent, received []byte
	bytes          int64
	rtts           []time.Duration
}

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("client, server or gateway?"))
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	link := linkFlags(flags)
	var err error
	switch os.Args[1] {
	case "client":
		err = client(flags, link)
	case "server":
		err = listen(flags, link, serve)
	case "gateway":
		target := flags.String("target", "", "a fixed endpoint; without it the hello names it")
		err = listen(flags, link, func(conn net.Conn, totals *Totals) error {
			return relay(conn, *target, totals)
		})
	default:
		err = fmt.Errorf("client, server or gateway, not %s", os.Args[1])
	}
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "kcp:", err)
	os.Exit(1)
}

func client(flags *flag.FlagSet, link *Link) error {
	c := Client{link: link}
	flags.StringVar(&c.to, "to", "", "where to dial")
	flags.StringVar(&c.hello, "hello", "", "the key; without it nothing is said first")
	flags.StringVar(&c.mode, "mode", "", "up, down, echo; UP, DOWN, ECHO are not checked")
	flags.Uint64Var(&c.bytes, "bytes", 0, "how many, per session")
	flags.Uint64Var(&c.seed, "seed", 1, "of the content; each session adds its number")
	flags.IntVar(&c.messages, "messages", 0, "how many, per session, instead of -mode")
	flags.IntVar(&c.size, "size", 64, "bytes of a message")
	flags.DurationVar(&c.pace, "pace", 0, "from one message to the next")
	flags.DurationVar(&c.timeout, "timeout", time.Minute, "for the whole of a session")
	sessions := flags.Int("sessions", 1, "how many at once")
	if err := link.parse(flags); err != nil {
		return err
	}
	results := make([]Result, *sessions)
	var all sync.WaitGroup
	began := time.Now()
	for i := range results {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			results[i] = c.session(c.seed + uint64(i))
		}(i)
	}
	all.Wait()
	return json.NewEncoder(os.Stdout).Encode(report(results, time.Since(began)))
}

func report(results []Result, took time.Duration) Report {
	r := Report{Sessions: len(results), Seconds: took.Seconds()}
	var rtts []time.Duration
	for _, result := range results {
		if result.err != nil {
			r.Failed++
			if r.Error == "" {
				r.Error, r.Refused = result.err.Error(), result.refused
			}
		}
		r.Bytes += result.bytes
		rtts = append(rtts, result.rtts...)
	}
	r.OK = r.Failed == 0
	r.SHASent, r.SHAReceived = hex.EncodeToString(results[0].sent), hex.EncodeToString(results[0].received)
	sort.Slice(rtts, func(i, j int) bool { return rtts[i] < rtts[j] })
	at := func(quantile float64) float64 {
		if len(rtts) == 0 {
			return 0
		}
		return float64(rtts[int(float64(len(rtts)-1)*quantile)]) / float64(time.Millisecond)
	}
	r.Messages, r.P50, r.P99, r.P999, r.Max = len(rtts), at(0.5), at(0.99), at(0.999), at(1)
	r.Retransmits, r.FECRecovered = kcp.DefaultSnmp.RetransSegs, kcp.DefaultSnmp.FECRecovered
	return r
}

func (c *Client) session(seed uint64) (result Result) {
	conn, err := c.link.dial(c.to)
	if err != nil {
		result.err = err
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(c.timeout))
	if c.hello != "" {
		answer, err := ask(conn, c.hello)
		if err != nil || answer != "ok" {
			result.refused, result.err = answer, fmt.Errorf("hello: %q, %v", answer, err)
			return
		}
	}
	if c.messages > 0 {
		result.err = c.talk(conn, seed, &result)
	} else {
		result.err = c.bulk(conn, seed, &result)
	}
	if result.err == nil && string(result.sent) != string(result.received) {
		result.err = errors.New("the bytes that arrived are not the bytes that were sent")
	}
	return
}

// ask says a hello and returns the answer: both are u32le length and text.
func ask(conn net.Conn, key string) (string, error) {
	hello := append(binary.LittleEndian.AppendUint32(nil, uint32(len(key))), key...)
	if _, err := conn.Write(hello); err != nil {
		return "", err
	}
	answer, err := readPrefixed(conn)
	return string(answer), err
}

func (c *Client) talk(conn net.Conn, seed uint64, result *Result) error {
	total := uint64(c.messages * c.size)
	if err := request(conn, 'e', total, seed); err != nil {
		return err
	}
	content, sent, received := Content{seed: seed}, sha256.New(), sha256.New()
	question, answer := make([]byte, c.size), make([]byte, c.size)
	next := time.Now()
	for i := 0; i < c.messages; i++ {
		content.fill(question)
		sent.Write(question)
		if c.pace > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(c.pace)
		}
		asked := time.Now()
		if _, err := conn.Write(question); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		result.rtts = append(result.rtts, time.Since(asked))
		received.Write(answer)
	}
	result.bytes, result.sent, result.received = int64(total), sent.Sum(nil), received.Sum(nil)
	return nil
}

func (c *Client) bulk(conn net.Conn, seed uint64, result *Result) error {
	kinds := map[string]byte{"up": 'u', "down": 'd', "echo": 'e', "UP": 'U', "DOWN": 'D', "ECHO": 'E'}
	kind, known := kinds[c.mode]
	if !known {
		return fmt.Errorf("no mode %q", c.mode)
	}
	if err := request(conn, kind, c.bytes, seed); err != nil {
		return err
	}
	var err error
	switch kind {
	case 'u', 'U':
		if result.sent, err = send(conn, kind, c.bytes, seed); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
		result.received = make([]byte, sha256.Size)
		_, err = io.ReadFull(conn, result.received)
	case 'd', 'D':
		result.sent, _ = send(io.Discard, kind, c.bytes, seed^downMask)
		result.received, err = receive(conn, kind, c.bytes)
	default:
		wrote := make(chan error, 1)
		go func() {
			var err error
			result.sent, err = send(conn, kind, c.bytes, seed)
			wrote <- err
		}()
		result.received, err = receive(conn, kind, c.bytes)
		if err != nil {
			conn.Close()
		}
		if sending := <-wrote; err == nil {
			err = sending
		}
	}
	if err != nil {
		return fmt.Errorf("receiving: %w", err)
	}
	result.bytes = int64(c.bytes)
	return nil
}

func request(conn net.Conn, kind byte, length, seed uint64) error {
	head := binary.LittleEndian.AppendUint64([]byte{kind}, length)
	_, err := conn.Write(binary.LittleEndian.AppendUint64(head, seed))
	return err
}

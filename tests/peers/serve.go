package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"net"
	"sync/atomic"
	"time"
)

const (
	chunk       = 64 << 10
	requestSize = 17
	downMask    = 0xd0d0d0d0d0d0d0d0
)

// Totals is what a server or a gateway says at its end.
type Totals struct {
	Sessions, Requests, Failed, Up, Down int64
}

// Content is a seed's endless bytes: SplitMix64's words in little endian.
type Content struct{ seed, word uint64 }

// fill takes the next bytes; only the last piece may have a length that is no multiple of eight.
func (c *Content) fill(piece []byte) {
	var last [8]byte
	for len(piece) > 0 {
		c.word++
		z := c.seed + c.word*0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(last[:], z^z>>31)
		piece = piece[copy(piece, last[:]):]
	}
}

// send writes the seed's content and returns its digest; capitals send zeros, whose digest is left out.
func send(to io.Writer, kind byte, length, seed uint64) ([]byte, error) {
	content, sum, piece := Content{seed: seed}, hashOf(kind), make([]byte, chunk)
	for length > 0 {
		piece = piece[:min(length)]
		if sum != nil {
			content.fill(piece)
			sum.Write(piece)
		}
		if _, err := to.Write(piece); err != nil {
			return nil, err
		}
		length -= uint64(len(piece))
	}
	return digest(sum), nil
}

func receive(from io.Reader, kind byte, length uint64) ([]byte, error) {
	sum, piece := hashOf(kind), make([]byte, chunk)
	for left := length; left > 0; {
		n, err := from.Read(piece[:min(left)])
		if err != nil {
			return nil, fmt.Errorf("after %d of %d: %w", length-left, length, err)
		}
		if sum != nil {
			sum.Write(piece[:n])
		}
		left -= uint64(n)
	}
	return digest(sum), nil
}

func min(left uint64) int {
	if left < chunk {
		return int(left)
	}
	return chunk
}

func hashOf(kind byte) hash.Hash {
	if kind >= 'a' {
		return sha256.New()
	}
	return nil
}

func digest(sum hash.Hash) []byte {
	if sum == nil {
		return make([]byte, sha256.Size)
	}
	return sum.Sum(nil)
}

// serve answers requests until the session ends, which nothing tells: it lives as long as this process.
func serve(conn net.Conn, totals *Totals) error {
	for {
		var head [requestSize]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			return err
		}
		kind, length := head[0], binary.LittleEndian.Uint64(head[1:])
		seed := binary.LittleEndian.Uint64(head[9:])
		var err error
		switch kind {
		case 'u', 'U':
			var sum []byte
			if sum, err = receive(conn, kind, length); err == nil {
				_, err = conn.Write(sum)
			}
		case 'd', 'D':
			_, err = send(conn, kind, length, seed^downMask)
		case 'e', 'E':
			_, err = io.CopyBuffer(onlyWriter{conn}, io.LimitReader(conn, int64(length)), make([]byte, chunk))
		default:
			err = fmt.Errorf("no kind %q", kind)
		}
		if err != nil {
			return err
		}
		atomic.AddInt64(&totals.Requests, 1)
	}
}

// onlyWriter hides whatever else a connection can do, so that the buffer given is the one used.
type onlyWriter struct{ io.Writer }

// relay is what a gateway on kcp-go does: a hello, a dial, "ok", and a copy each way.
func relay(conn net.Conn, target string, totals *Totals) error {
	told := target == ""
	if told {
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		key, err := readPrefixed(conn)
		if err != nil {
			return err
		}
		conn.SetReadDeadline(time.Time{})
		target = string(key)
	}
	endpoint, err := net.DialTimeout("tcp", target, 5*time.Second)
	if err != nil {
		return err
	}
	defer endpoint.Close()
	if told {
		if _, err := conn.Write([]byte("\x02\x00\x00\x00ok")); err != nil {
			return err
		}
	}
	go func() {
		n, _ := io.Copy(onlyWriter{endpoint}, conn)
		atomic.AddInt64(&totals.Up, n)
		endpoint.Close()
	}()
	n, err := io.Copy(onlyWriter{conn}, endpoint)
	atomic.AddInt64(&totals.Down, n)
	return err
}

func readPrefixed(from io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(from, head[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint32(head[:])
	if length > 4096 {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(from, body)
	return body, err
}

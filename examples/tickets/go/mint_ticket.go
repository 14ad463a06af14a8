// Mints a ticket for Portcullis; docs/ticket.md is the format. Needs nothing but the standard library.
package main

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// Content is what a ticket says. Its members are written in this order.
type Content struct {
	Target   string `json:"target,omitempty"`
	Upstream string `json:"upstream,omitempty"`
	Exp      int64  `json:"exp"`
	Jti      string `json:"jti"`
	IP       string `json:"ip,omitempty"`
	Device   string `json:"device,omitempty"`
	Once     bool   `json:"once,omitempty"`
}

// FirstKey returns the id and the secret of the key file's first key: the one that seals.
func FirstKey(text string) (id, secret []byte, err error) {
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		left, right, found := strings.Cut(line, ":")
		if !found {
			return nil, nil, errors.New("a line of the key file is no key")
		}
		if id, err = hex.DecodeString(left); err != nil {
			return nil, nil, err
		}
		secret, err = hex.DecodeString(right)
		return id, secret, err
	}
	return nil, nil, errors.New("there is no key in the key file")
}

// Seal seals the content; nonce must never be used twice with one key.
func Seal(id, secret, nonce []byte, content Content) (string, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return "", err
	}
	box, err := cipher.NewGCM(block)
	if err != nil {
		return "", err
	}
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(content); err != nil {
		return "", err
	}
	whole := append(append([]byte{}, id...), nonce...)
	associated := append([]byte("v1."), id...)
	whole = box.Seal(whole, nonce, bytes.TrimRight(plain.Bytes(), "\n"), associated)
	return "v1." + base64.RawURLEncoding.EncodeToString(whole), nil
}

func run() error {
	keyFile := flag.String("key-file", "", "the key file")
	target := flag.String("target", "", "host:port")
	upstream := flag.String("upstream", "", "an upstream, instead of --target")
	ttl := flag.Int64("ttl", 60, "seconds")
	ip := flag.String("ip", "", "the only client address it is good for")
	device := flag.String("device", "", "who it is for")
	once := flag.Bool("once", false, "good for one use")
	exp := flag.Int64("exp", 0, "Unix seconds, instead of --ttl")
	jti := flag.String("jti", "", "the ticket's own name; random if empty")
	nonceHex := flag.String("nonce", "", "12 bytes in hex, for tests only")
	flag.Parse()

	text, err := os.ReadFile(*keyFile)
	if err != nil {
		return err
	}
	id, secret, err := FirstKey(string(text))
	if err != nil {
		return err
	}
	random := make([]byte, 12+16)
	if _, err := rand.Read(random); err != nil {
		return err
	}
	nonce := random[:12]
	if *nonceHex != "" {
		if nonce, err = hex.DecodeString(*nonceHex); err != nil {
			return err
		}
	}
	if *jti == "" {
		*jti = base64.RawURLEncoding.EncodeToString(random[12:])
	}
	if *exp == 0 {
		*exp = time.Now().Unix() + *ttl
	}
	ticket, err := Seal(id, secret, nonce, Content{*target, *upstream, *exp, *jti, *ip, *device, *once})
	if err != nil {
		return err
	}
	fmt.Println(ticket)
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mint_ticket:", err)
		os.Exit(1)
	}
}

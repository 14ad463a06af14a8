package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/xtaci/kcp-go"
	"golang.org/x/crypto/pbkdf2"
)

const socketBuffer = 4 << 20

// Link is how both sides of a session must be set: cipher, FEC, and the ARQ's own figures.
type Link struct {
	crypt, key, rawKey, fec, preset string
	data, parity, window, mtu       int
	stream, ackNoDelay              bool
	block                           kcp.BlockCrypt
	box                             cipher.AEAD
}

func linkFlags(flags *flag.FlagSet) *Link {
	l := &Link{}
	flags.StringVar(&l.crypt, "crypt", "null", "null none xor aes-128 aes-192 aes-256 salsa20 aes-gcm")
	flags.StringVar(&l.key, "key", "", "a passphrase, stretched as kcptun does")
	flags.StringVar(&l.rawKey, "raw-key", "", "the key itself, in hex")
	flags.StringVar(&l.fec, "fec", "0/0", "data/parity")
	flags.StringVar(&l.preset, "preset", "fast2", "default, normal, fast, fast2 or fast3")
	flags.IntVar(&l.window, "window", 256, "both windows, in segments")
	flags.IntVar(&l.mtu, "mtu", 1350, "bytes of a datagram")
	flags.BoolVar(&l.stream, "stream", true, "stream mode")
	flags.BoolVar(&l.ackNoDelay, "ack-no-delay", false, "acknowledge at once")
	return l
}

func (l *Link) parse(flags *flag.FlagSet) error {
	if err := flags.Parse(os.Args[2:]); err != nil {
		return err
	}
	if _, err := fmt.Sscanf(l.fec, "%d/%d", &l.data, &l.parity); err != nil {
		return fmt.Errorf("-fec %s: %w", l.fec, err)
	}
	if _, known := presets[l.preset]; !known {
		return fmt.Errorf("no preset %q", l.preset)
	}
	key, err := hex.DecodeString(l.rawKey)
	if err != nil {
		return err
	}
	if l.rawKey == "" {
		key = pbkdf2.Key([]byte(l.key), []byte("kcp-go"), 4096, 32, sha1.New)
		if length := keyLengths[l.crypt]; length != 0 {
			key = key[:length]
		}
	}
	return l.setCipher(key)
}

// keyLengths is how much of a stretched passphrase a cipher takes.
var keyLengths = map[string]int{
	"aes-128": 16, "aes-192": 24, "aes-256": 32, "aes-gcm": 16, "salsa20": 32, "xor": 32,
}

// presets are kcptun's; "default" is what kcp-go does when nobody sets anything.
var presets = map[string][4]int{
	"default": {0, 100, 0, 0}, "normal": {0, 40, 2, 1}, "fast": {0, 30, 2, 1},
	"fast2": {1, 20, 2, 1}, "fast3": {1, 10, 2, 1},
}

func (l *Link) setCipher(key []byte) (err error) {
	switch l.crypt {
	case "null":
	case "none":
		l.block, err = kcp.NewNoneBlockCrypt(key)
	case "xor":
		l.block, err = kcp.NewSimpleXORBlockCrypt(key)
	case "aes-128", "aes-192", "aes-256":
		l.block, err = kcp.NewAESBlockCrypt(key)
	case "salsa20":
		l.block, err = kcp.NewSalsa20BlockCrypt(key)
	case "aes-gcm":
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			l.box, err = cipher.NewGCM(block)
		}
	default:
		err = fmt.Errorf("no cipher %q", l.crypt)
	}
	return err
}

func (l *Link) tune(session *kcp.UDPSession) {
	p := presets[l.preset]
	session.SetNoDelay(p[0], p[1], p[2], p[3])
	session.SetWindowSize(l.window, l.window)
	session.SetStreamMode(l.stream)
	session.SetACKNoDelay(l.ackNoDelay)
	mtu := l.mtu
	if l.box != nil {
		mtu -= l.box.NonceSize() + l.box.Overhead()
	}
	session.SetMtu(mtu)
}

// dialed is a session with the socket it alone uses.
type dialed struct {
	*kcp.UDPSession
	socket net.PacketConn
}

// Close flushes the session and closes its socket.
func (d dialed) Close() error {
	d.UDPSession.Close()
	return d.socket.Close()
}

func (l *Link) dial(to string) (net.Conn, error) {
	address, err := net.ResolveUDPAddr("udp", to)
	if err != nil {
		return nil, err
	}
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: anyFor(address.IP)})
	if err != nil {
		return nil, err
	}
	if err := settle(socket, address); err != nil {
		socket.Close()
		return nil, err
	}
	socket.SetReadBuffer(socketBuffer)
	socket.SetWriteBuffer(socketBuffer)
	session, err := kcp.NewConn2(address, l.block, l.data, l.parity, l.sealed(socket))
	if err != nil {
		socket.Close()
		return nil, err
	}
	l.tune(session)
	return dialed{session, socket}, nil
}

// settle lets the socket hear nobody but its peer. kcp-go takes the source of the first datagram for its peer's
// address; on one machine, where ports come back soon, that may be what was meant for whoever had the port before.
func settle(socket *net.UDPConn, peer *net.UDPAddr) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var to syscall.Sockaddr
	if four := peer.IP.To4(); four != nil {
		to = &syscall.SockaddrInet4{Port: peer.Port, Addr: *(*[4]byte)(four)}
	} else {
		to = &syscall.SockaddrInet6{Port: peer.Port, Addr: *(*[16]byte)(peer.IP.To16())}
	}
	var connecting error
	if err := raw.Control(func(fd uintptr) { connecting = syscall.Connect(int(fd), to) }); err != nil {
		return err
	}
	return connecting
}

func anyFor(to net.IP) net.IP {
	if to.To4() != nil {
		return net.IPv4zero
	}
	return net.IPv6unspecified
}

// listen serves sessions until standard input ends.
func listen(flags *flag.FlagSet, link *Link, serve func(net.Conn, *Totals) error) error {
	at := flags.String("listen", "127.0.0.1:0", "where to listen")
	if err := link.parse(flags); err != nil {
		return err
	}
	socket, err := net.ListenPacket("udp", *at)
	if err != nil {
		return err
	}
	listener, err := kcp.ServeConn(link.block, link.data, link.parity, link.sealed(socket))
	if err != nil {
		return err
	}
	listener.SetReadBuffer(socketBuffer)
	listener.SetWriteBuffer(socketBuffer)
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"address": socket.LocalAddr().String()}); err != nil {
		return err
	}
	var totals Totals
	go func() {
		for {
			session, err := listener.AcceptKCP()
			if err != nil {
				return
			}
			link.tune(session)
			atomic.AddInt64(&totals.Sessions, 1)
			go func() {
				defer session.Close()
				if serve(session, &totals) != nil {
					atomic.AddInt64(&totals.Failed, 1)
				}
			}()
		}
	}()
	io.Copy(io.Discard, os.Stdin)
	return out.Encode(&totals)
}

// sealed is the socket, or for AES-GCM, which this kcp-go does not have, one that seals each datagram as
// later ones do: nonce of 12, ciphertext, tag of 16.
func (l *Link) sealed(socket net.PacketConn) net.PacketConn {
	if l.box == nil {
		return socket
	}
	return &sealedSocket{socket, l.box}
}

type sealedSocket struct {
	net.PacketConn
	box cipher.AEAD
}

// ReadFrom returns the next datagram that opens.
func (s *sealedSocket) ReadFrom(into []byte) (int, net.Addr, error) {
	buffer := make([]byte, 2048)
	for {
		n, from, err := s.PacketConn.ReadFrom(buffer)
		if err != nil {
			return 0, nil, err
		}
		if n < s.box.NonceSize() {
			continue
		}
		nonce, sealed := buffer[:s.box.NonceSize()], buffer[s.box.NonceSize():n]
		if plain, err := s.box.Open(nil, nonce, sealed, nil); err == nil {
			return copy(into, plain), from, nil
		}
	}
}

// WriteTo seals and sends.
func (s *sealedSocket) WriteTo(plain []byte, to net.Addr) (int, error) {
	nonce := make([]byte, s.box.NonceSize(), len(plain)+64)
	if _, err := rand.Read(nonce); err != nil {
		return 0, err
	}
	_, err := s.PacketConn.WriteTo(s.box.Seal(nonce, nonce, plain, nil), to)
	return len(plain), err
}

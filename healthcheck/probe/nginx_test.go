package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vrrpd/internal/lab"
)

// A nginx runs on the peer of a wire.
type nginx struct {
	*lab.Process
	dir    string
	caFile string
}

// startNginx serves plain, over TLS, and on a unix socket.
func startNginx(t testing.TB, w *wire) *nginx {
	t.Helper()
	binary := lab.Require(t, "nginx", "nginx-light")
	n := &nginx{dir: t.TempDir()}
	// Its workers may be other users.
	must(t, os.Chmod(n.dir, 0o755))
	must(t, os.Chmod(filepath.Dir(n.dir), 0o755))
	n.caFile = certificate(t, n.dir)
	must(t, os.Mkdir(filepath.Join(n.dir, "files"), 0o755))
	put(t, filepath.Join(n.dir, "files", "big"), strings.Repeat("0123456789abcde\n", 64<<10)) // 1 MiB
	locations := `
		root DIR/files;
		location = /health   { return 200 "healthy\nsince yesterday\n"; }
		location = /down     { return 503 "the database is away\n"; }
		location = /moved    { return 301 /health; }
		location = /nothing  { return 204; }
		location = /shut     { return 444; }
		location = /method   { return 200 "$request_method\n"; }
		location = /host     { return 200 "host $http_host agent $http_user_agent test $http_x_test from $remote_addr\n"; }
		location = /private  { if ($http_authorization != "Basic dXNlcjpzZWNyZXQ=") { return 401; } return 200 "in\n"; }
`
	config := `
daemon off; master_process off; pid DIR/pid; error_log DIR/error.log; worker_processes 1;
events { worker_connections 64; }
http {
	access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
	server {
		listen 80; listen [::]:80; listen unix:DIR/socket;
` + locations + `	}
	server {
		listen 443 ssl; listen [::]:443 ssl; ssl_certificate DIR/cert.pem; ssl_certificate_key DIR/key.pem;
		location = /name { return 200 "name $ssl_server_name\n"; }
` + locations + `	}
}
`
	path := filepath.Join(n.dir, "nginx.conf")
	put(t, path, strings.ReplaceAll(config, "DIR", n.dir))
	n.Process = w.peer.Start(binary, "-p", n.dir, "-c", path)
	// It begins to listen at one place after the other.
	for _, p := range []Probe{
		mustNew(t, TCP{Address: there + ":80"}), mustNew(t, TCP{Address: "[" + there6 + "]:80"}),
		mustNew(t, TCP{Address: there + ":443"}), mustNew(t, TCP{Address: "[" + there6 + "]:443"}),
		mustNew(t, HTTP{URL: "http://localhost/health", UnixSocket: n.socket()}),
	} {
		lab.Until(t, 20*time.Second, "nginx to listen: "+p.String(), func() bool { return once(t, p).Passed })
	}
	return n
}

// certificate makes an authority and a certificate for web.example and the
// peer's addresses, and returns the authority's file.
func certificate(t testing.TB, dir string) (caFile string) {
	t.Helper()
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	authority := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	server := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"web.example"},
		IPAddresses: []net.IP{net.ParseIP(there), net.ParseIP(there6)}}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	must(t, err)
	serverDER, err := x509.CreateCertificate(rand.Reader, server, authority, &key.PublicKey, authorityKey)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		put(t, path, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
		return path
	}
	write("cert.pem", "CERTIFICATE", serverDER)
	write("key.pem", "PRIVATE KEY", keyDER)
	return write("ca.pem", "CERTIFICATE", authorityDER)
}

func (n *nginx) socket() string { return filepath.Join(n.dir, "socket") }

func web(path string) string { return fmt.Sprintf("http://%s%s", there, path) }

package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// caLimit is how long a file of certificates may be, in bytes.
const caLimit = 4 << 20

// TLS says how a server's certificate is verified.
type TLS struct {
	ServerName string // asked for (SNI) and verified; "": the host that is asked
	CAFile     string // authorities in PEM, instead of the system's; read again when it changes
	Insecure   bool   // verify nothing
}

// A tlsClient secures connections.
type tlsClient struct {
	config *tls.Config // its RootCAs are those of file
	caFile string

	mu      sync.Mutex
	roots   *x509.CertPool
	modTime time.Time
	size    int64
}

func (s TLS) client(host, protocol string) (*tlsClient, error) {
	switch {
	case s.CAFile != "" && !filepath.IsAbs(s.CAFile):
		return nil, invalid("ca_file", "%q is not an absolute path", s.CAFile)
	case s.CAFile != "" && s.Insecure:
		return nil, invalid("insecure", "the certificates of ca_file would not be used")
	case s.ServerName != "" && net.ParseIP(s.ServerName) == nil && !hostName(s.ServerName):
		return nil, invalid("server_name", "%q cannot be the name of a server", s.ServerName)
	}
	name := s.ServerName
	if name == "" {
		name = host
	}
	return &tlsClient{caFile: s.CAFile, config: &tls.Config{
		ServerName:         name,
		InsecureSkipVerify: s.Insecure,
		NextProtos:         []string{protocol},
		MinVersion:         tls.VersionTLS12,
	}}, nil
}

func (c *tlsClient) handshake(ctx context.Context, conn net.Conn) (*tls.Conn, error) {
	config, err := c.current()
	if err != nil {
		return nil, err
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secured, nil
}

// current is the configuration with the authorities as they are in the file now.
func (c *tlsClient) current() (*tls.Config, error) {
	if c.caFile == "" {
		return c.config, nil
	}
	st, err := os.Stat(c.caFile)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.roots == nil || st.Size() != c.size || !st.ModTime().Equal(c.modTime) {
		text, err := readBeginning(c.caFile, caLimit)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.caFile, err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM([]byte(text)) {
			return nil, errors.New(c.caFile + " holds no certificate")
		}
		c.roots, c.size, c.modTime = roots, st.Size(), st.ModTime()
	}
	config := c.config.Clone()
	config.RootCAs = c.roots
	return config, nil
}

package healthcheck

// A Credential is the identity a check runs as.
type Credential struct {
	User   string // as configured, for messages
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary groups
	Home   string
}

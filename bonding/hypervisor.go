package bonding

import (
	"io/fs"
	"strings"
)

// hypervisors by what their firmware calls the machine. A vendor that also
// builds hardware is told by the product.
var hypervisors = []struct{ vendor, product, name string }{
	{"VMware", "", "VMware"},
	{"innotek", "", "VirtualBox"},
	{"Oracle", "VirtualBox", "VirtualBox"},
	{"QEMU", "", "QEMU/KVM"},
	{"Red Hat", "KVM", "QEMU/KVM"},
	{"", "KVM", "QEMU/KVM"},
	{"", "RHEV", "QEMU/KVM"},
	{"Microsoft", "Virtual Machine", "Hyper-V"},
	{"Xen", "", "Xen"},
	{"", "HVM domU", "Xen"},
	{"Google", "Google Compute Engine", "Google Compute Engine"},
	{"OpenStack", "", "OpenStack"},
	{"", "OpenStack", "OpenStack"},
	{"Parallels", "", "Parallels"},
	{"BHYVE", "", "bhyve"},
	{"Nutanix", "AHV", "Nutanix"},
	{"Alibaba Cloud", "ECS", "Alibaba Cloud"},
}

// Hypervisor says what this machine runs on, "" if that is hardware or cannot
// be told. sys is the tree of /sys.
func Hypervisor(sys fs.FS) string {
	read := func(name string) string {
		b, err := fs.ReadFile(sys, "class/dmi/id/"+name)
		if err != nil {
			return "" // no DMI on this machine, or not for us to read
		}
		return strings.TrimSpace(string(b))
	}
	vendor, product := read("sys_vendor"), read("product_name")
	if vendor == "" && product == "" {
		return ""
	}
	if vendor == "Amazon EC2" {
		if strings.Contains(product, "metal") {
			return ""
		}
		return vendor
	}
	for _, h := range hypervisors {
		if strings.HasPrefix(vendor, h.vendor) && strings.HasPrefix(product, h.product) {
			return h.name
		}
	}
	return ""
}

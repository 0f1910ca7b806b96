package text

import (
	"regexp"
	"strings"
)

// The addresses that we take: what HTML's input type=email takes, with a dot in the domain. ASCII only, once it is composed
// (NFC), so that lower case is the same for Go, PostgreSQL and Keycloak.
// So no address has two forms, composed or not, and none looks like another's in foreign letters (UTS 39).
// Domains in other scripts come in their ASCII form (IDNA), as browsers send them.
var email = regexp.MustCompile("^[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*" +
	`@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Email brings an e-mail address to the one form in which it is kept and compared; ok is false when it is none.
func Email(s string) (address string, ok bool) {
	s, _ = Line(s)
	s = LowerASCII(s)
	local, _, _ := strings.Cut(s, "@")
	return s, len(s) <= 254 && len(local) <= 64 && email.MatchString(s) // RFC 5321, 4.5.3.1
}

// LowerASCII makes the letters A to Z small, and no others.
func LowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

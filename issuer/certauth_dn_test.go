package issuer

import (
	"bytes"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"
)

// encodedName returns a name in the order of a certificate, from type, value, type, …. A
// type that begins with + belongs to the part before it.
func encodedName(tb testing.TB, pairs ...string) []byte {
	tb.Helper()
	var name []encodedRDNSET
	for n := 0; n < len(pairs); n += 2 {
		typ, same := strings.CutPrefix(pairs[n], "+")
		e := encodedAttribute{Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(pairs[n+1])}}
		e.Type = oidOf(attributeTypes[typ])
		if same {
			name[len(name)-1] = append(name[len(name)-1], e)
		} else {
			name = append(name, encodedRDNSET{e})
		}
	}
	der, err := asn1.Marshal(name)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// What a record may write for a name, with the examples of RFC 4514, section 4.
func TestDN(t *testing.T) {
	example := encodedName(t, "DC", "net", "DC", "example", "UID", "jsmith")
	for text, subject := range map[string][]byte{
		"UID=jsmith,DC=example,DC=net":                              example,
		"uid=jsmith, dc=example, dc=net":                            example,
		" UID = jsmith , DC = example , DC = net ":                  example,
		"0.9.2342.19200300.100.1.1=jsmith,DC=example,DC=net":        example,
		"UID=#0c066a736d697468,DC=example,DC=net":                   example,
		"OU=Sales+CN=J.  Smith,DC=example,DC=net":                   encodedName(t, "DC", "net", "DC", "example", "OU", "Sales", "+CN", "J.  Smith"),
		"CN=J.  Smith+OU=Sales,DC=example,DC=net":                   encodedName(t, "DC", "net", "DC", "example", "OU", "Sales", "+CN", "J.  Smith"),
		`CN=James \"Jim\" Smith\, III,DC=example,DC=net`:            encodedName(t, "DC", "net", "DC", "example", "CN", `James "Jim" Smith, III`),
		`CN=Before\0dAfter,DC=example,DC=net`:                       encodedName(t, "DC", "net", "DC", "example", "CN", "Before\rAfter"),
		`CN=Lu\C4\8Di\C4\87`:                                        encodedName(t, "CN", "Lučić"),
		`CN=Lučić`:                                                  encodedName(t, "CN", "Lučić"),
		`CN=\ two \ `:                                               encodedName(t, "CN", " two  "),
		`CN=\#1=2`:                                                  encodedName(t, "CN", "#1=2"),
		`CN=a\2Cb\+c\\d\;e\<f\>g`:                                   encodedName(t, "CN", `a,b+c\d;e<f>g`),
		`CN=one,CN=two`:                                             encodedName(t, "CN", "two", "CN", "one"),
		`CN=one+CN=one`:                                             encodedName(t, "CN", "one", "+CN", "one"),
		`emailAddress=a@example.com,serialNumber=7,ST=Bern,C=CH`:    encodedName(t, "C", "CH", "ST", "Bern", "SERIALNUMBER", "7", "EMAILADDRESS", "a@example.com"),
		`STREET=1 Main St,L=Bern,SN=Doe,OU=Payments,O=Example,C=CH`: encodedName(t, "C", "CH", "O", "Example", "OU", "Payments", "SN", "Doe", "L", "Bern", "STREET", "1 Main St"),
	} {
		name, err := parseDN(text)
		if err != nil || !name.names(subject) {
			t.Errorf("%s: %v, %v", text, name, err)
		}
		if name.names(append(bytes.Clone(subject), 0)) || name.names(subject[:len(subject)-1]) || name.names(nil) || name.names(encodedName(t, "CN", "x")) {
			t.Errorf("%s names what is another encoding", text)
		}
	}
	for _, text := range []string{
		"", "CN", "CN=", "CN= ", "=x", ",", "CN=a,", "CN=a+", "CN=a,,O=b", "CN=a,O", "Colour=red", "CN=a;O=b", `CN="a"`, `CN=a"`, "CN=<a>",
		`CN=a\`, `CN=a\4`, `CN=a\xy`, `CN=\C4`, "CN=\xc4", "CN=#", "CN=#0", "CN=#zz", "CN=a\x00", `OID.2.5.4.3=a`, "2=a",
	} {
		if name, err := parseDN(text); err == nil {
			t.Errorf("%q is read as %v", text, name)
		}
	}
}

// Names that a record must not be taken for.
func TestDNOfAnother(t *testing.T) {
	for text, subject := range map[string][]byte{
		"CN=a":         encodedName(t, "CN", "A"),
		"CN=b":         encodedName(t, "CN", " b"),
		"CN=c":         encodedName(t, "OU", "c"),
		"CN=d,O=e":     encodedName(t, "CN", "d", "O", "e"),
		"CN=f+O=g":     encodedName(t, "O", "g", "CN", "f"),
		"CN=h,O=i":     encodedName(t, "O", "i", "+CN", "h"),
		"CN=j+CN=k":    encodedName(t, "CN", "j", "+CN", "j"),
		"CN=k+O=l":     encodedName(t, "CN", "k"),
		"CN=l+CN=l":    encodedName(t, "CN", "l", "+CN", "m"),
		"CN=n,O=o":     encodedName(t, "CN", "n,O=o"),
		"CN=p":         encodedName(t, "CN", "p\x00q"),
		"CN=r*":        encodedName(t, "CN", "rs"),
		"CN=#1301 61":  nil,
		"CN=#130174":   encodedName(t, "CN", "t"), // a PrintableString, and the certificate has UTF8String
		"1.2.3=u":      encodedName(t, "CN", "u"),
		"02.5.4.3=v":   encodedName(t, "CN", "v"),
		`CN=w\00`:      encodedName(t, "CN", "w"),
		"CN=x,CN=x":    encodedName(t, "CN", "x"),
		"CN=y":         encodedName(t, "CN", "y", "CN", "y"),
		"CN=é":         encodedName(t, "CN", "e\u0301"),
		"CN=z,L=Bern,": nil,
	} {
		if name, err := parseDN(text); err == nil && name.names(subject) {
			t.Errorf("%s names another", text)
		}
	}
	// A text in an encoding whose characters are not certain, and one that is no text.
	for _, encoded := range []string{
		"300c310a300806035504031401" + "61", // T61String
		"300d310b3009060355040 31e020061",   // BMPString
		"300c310a3008060355040302" + "0161", // INTEGER
	} {
		subject, err := hex.DecodeString(strings.ReplaceAll(encoded, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		if name, err := parseDN("CN=a"); err != nil || name.names(subject) {
			t.Errorf("%s: %v, %v", encoded, name, err)
		}
	}
}

// FuzzDN: a name that is read names its own encoding, and no longer one. What crypto/x509
// prints for a subject names that subject.
func FuzzDN(f *testing.F) {
	for _, seed := range []string{"CN=billing,O=Example", `CN=a\,b\+c+OU=x, DC=example`, `CN=\23#a\ `, "2.5.4.3=#0c0161", "emailAddress=a@b,C=CH", `CN=Lu\C4\8D`} {
		f.Add(seed, "billing", "Example")
	}
	f.Add("CN=x", ` a,b+c"\;<>`, "#o ")
	f.Fuzz(func(t *testing.T, text, common, organization string) {
		if name, err := parseDN(text); err == nil {
			var encoded []encodedRDNSET
			plain := true
			for _, part := range name {
				var set encodedRDNSET
				for _, a := range part {
					e := encodedAttribute{Value: asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte(a.text)}}
					if a.der != nil {
						plain = false
					}
					e.Type = oidOf(a.oid)
					plain = plain && e.Type.String() == a.oid
					set = append(set, e)
				}
				encoded = append(encoded, set)
			}
			der, err := asn1.Marshal(encoded)
			plain = plain && err == nil
			if plain && !name.names(der) {
				t.Errorf("%q does not name %x", text, der)
			}
			longer, err := asn1.Marshal(append(encoded, encodedRDNSET{{oidOf("2.5.4.3"), asn1.RawValue{Tag: asn1.TagUTF8String, Bytes: []byte("x")}}}))
			if err == nil && name.names(longer) {
				t.Errorf("%q names a longer one", text)
			}
		}
		if common == "" || organization == "" || !utf8.ValidString(common+organization) || strings.Contains(common+organization, "\x00") {
			return
		}
		sequence := pkix.Name{CommonName: common, Organization: []string{organization}}.ToRDNSequence()
		der, err := asn1.Marshal(sequence)
		if err != nil {
			return
		}
		if name, err := parseDN(sequence.String()); err != nil || !name.names(der) {
			t.Errorf("%q: %v, %v", sequence, name, err)
		}
	})
}

func oidOf(text string) asn1.ObjectIdentifier {
	var oid asn1.ObjectIdentifier
	for part := range strings.SplitSeq(text, ".") {
		arc := 0
		for _, digit := range part {
			if arc = 10*arc + int(digit-'0'); arc > 1<<30 {
				return nil
			}
		}
		oid = append(oid, arc)
	}
	return oid
}

package statsd

import (
	"strconv"
	"strings"
	"time"
	"unicode"
)

// mostPacket is how many bytes a packet has at most: what an Ethernet frame takes,
// and some tunnels in between.
const mostPacket = 1400

func gauge(name string, value int64) string { return name + ":" + strconv.FormatInt(value, 10) + "|g" }

func count(name string, n int64) string { return name + ":" + strconv.FormatInt(n, 10) + "|c" }

func timer(name string, d time.Duration) string {
	return name + ":" + strconv.FormatInt(max(0, d.Milliseconds()), 10) + "|ms"
}

// timed is a duration and that it was one, as nodepool tells of what is over.
func timed(name string, d time.Duration) []string { return []string{timer(name, d), count(name, 1)} }

// name joins the words of a name. As with nodepool a dot in a word is one in the
// name; what would end the name is not.
func name(words ...string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune(":|@#", r) {
			return '_'
		}
		return r
	}, "nodepool."+strings.Join(words, "."))
}

// word is a word of a name without dots, where nodepool wants none.
func word(text string) string { return strings.ReplaceAll(text, ".", "_") }

// packets cuts lines into packets. A line that fits into none is left out.
func packets(lines []string) [][]byte {
	var all [][]byte
	var packet []byte
	for _, line := range lines {
		if len(line) > mostPacket {
			continue
		}
		if len(packet)+1+len(line) > mostPacket {
			all, packet = append(all, packet), nil
		}
		if len(packet) > 0 {
			packet = append(packet, '\n')
		}
		packet = append(packet, line...)
	}
	if len(packet) > 0 {
		all = append(all, packet)
	}
	return all
}

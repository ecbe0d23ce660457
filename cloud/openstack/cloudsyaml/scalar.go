package cloudsyaml

import (
	"regexp"
	"strconv"
	"strings"
)

// What Python's YAML, of version 1.1, takes a plain scalar for.
var (
	pythonBool  = regexp.MustCompile(`^(?i:yes|no|true|false|on|off)$`)
	pythonInt   = regexp.MustCompile(`^[-+]?(0b[01_]+|0[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])+)$`)
	pythonFloat = regexp.MustCompile(`^([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+][0-9]+)?|\.[0-9][0-9_]*([eE][-+][0-9]+)?` +
		`|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?i:inf)|\.(?i:nan))$`)
	pythonDate = regexp.MustCompile(`^\d{4}-\d\d?-\d\d?([Tt ].*)?$`)
)

// mistaken says what openstacksdk takes a value for that was meant as text, or
// "" if it reads it as it is written. Such a value is refused rather than
// guessed at: 0123 becomes 83 there.
func (s *scalar) mistaken() string {
	if !s.plain || s.null {
		return ""
	}
	switch t := s.text; {
	case pythonBool.MatchString(t):
		return "true or false"
	case pythonInt.MatchString(t):
		if n, err := strconv.ParseInt(t, 10, 64); err == nil && strconv.FormatInt(n, 10) == t || onlyDigits(t) {
			return ""
		}
		return "a number"
	case pythonFloat.MatchString(t):
		if f, err := strconv.ParseFloat(t, 64); err == nil && pythonRepr(f) == t {
			return ""
		}
		return "a number"
	case pythonDate.MatchString(t):
		return "a date"
	}
	return ""
}

// onlyDigits tells a number that keeps its text, however long.
func onlyDigits(t string) bool {
	return t[0] != '0' && strings.Trim(t, "0123456789") == ""
}

// pythonRepr writes a number of usual size as Python does.
func pythonRepr(f float64) string {
	t := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(t, ".") {
		t += ".0"
	}
	return t
}

// boolean reads what openstacksdk takes for true or false: YAML's words, and
// "true" and "false" as text.
func (s *scalar) boolean() (value, ok bool) {
	switch strings.ToLower(s.text) {
	case "true":
		return true, true
	case "false":
		return false, true
	case "yes", "on":
		return true, s.plain
	case "no", "off":
		return false, s.plain
	}
	return false, false
}

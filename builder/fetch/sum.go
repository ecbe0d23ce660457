package fetch

import (
	"bufio"
	"context"
	"crypto/md5" //nolint:gosec // some publish nothing else
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
)

// maxSums bounds a file of sums.
const maxSums = 4 << 20

// sum is a checksum; the zero one is not known.
type sum struct{ algorithm, value string }

// String is "ALGORITHM:HEX", or "".
func (s sum) String() string {
	if s.algorithm == "" {
		return ""
	}
	return s.algorithm + ":" + s.value
}

// algorithms by the number of hexadecimal digits of their sums.
func algorithms() map[int]string {
	return map[int]string{2 * md5.Size: "md5", 2 * sha256.Size: "sha256", 2 * sha512.Size: "sha512"}
}

// parseSum reads a checksum as it is written in the configuration.
func parseSum(text string) (sum, error) {
	algorithm, value, _ := strings.Cut(text, ":")
	if algorithms()[len(value)] != algorithm || !isHex(value) {
		return sum{}, fmt.Errorf("%q is no checksum", text)
	}
	return sum{algorithm, strings.ToLower(value)}, nil
}

func isHex(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil
}

// checksum finds out what the checksum of a source is.
func (c *Client) checksum(ctx context.Context, s Source) (sum, error) {
	switch {
	case s.Checksum == "":
		return sum{}, nil
	case !strings.Contains(s.Checksum, "://"):
		return parseSum(s.Checksum)
	}
	ctx, cancel := context.WithTimeout(ctx, c.stall)
	defer cancel()
	sums, err := c.open(ctx, s.Checksum)
	if err != nil {
		return sum{}, fmt.Errorf("get the checksum: %w", err)
	}
	defer sums.Close() //nolint:errcheck // it was only read
	u, err := url.Parse(s.URL)
	if err != nil {
		return sum{}, err
	}
	found, err := sumIn(sums, path.Base(u.Path))
	if err != nil {
		return sum{}, fmt.Errorf("%s: %w", s.Checksum, err)
	}
	return found, nil
}

func (c *Client) open(ctx context.Context, from string) (io.ReadCloser, error) {
	if file, local := localPath(from); local {
		return os.Open(file)
	}
	response, err := c.ask(ctx, http.MethodGet, from, http.Header{})
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(refused(response), response.Body.Close())
	}
	return response.Body, nil
}

// sumIn finds the sum of a file in what sha256sum and its like write, with and
// without --tag. A sum alone is that of the only file there is.
func sumIn(sums io.Reader, name string) (sum, error) {
	known := algorithms()
	for lines := bufio.NewScanner(io.LimitReader(sums, maxSums)); lines.Scan(); {
		line := lines.Text()
		if left, right, tagged := strings.Cut(line, ") = "); tagged {
			_, file, _ := strings.Cut(left, "(")
			line = right + "  " + file
		}
		fields := strings.Fields(line)
		if len(fields) == 0 || known[len(fields[0])] == "" || !isHex(fields[0]) {
			continue
		}
		if len(fields) == 1 || path.Base(strings.TrimPrefix(fields[1], "*")) == name {
			return sum{known[len(fields[0])], strings.ToLower(fields[0])}, nil
		}
	}
	return sum{}, fmt.Errorf("no checksum of %s", name)
}

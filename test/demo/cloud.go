package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Cloud is a simulated cloud.
type Cloud struct{ Name, URL string }

// Server is a server that exists, as the cloud itself knows it.
type Server struct {
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Status    string            `json:"status"`
	Task      string            `json:"task"`
	Metadata  map[string]string `json:"metadata"`
	Addresses []Address         `json:"addresses"`
	HostKeys  []string          `json:"host_keys"`
}

// Address is an address of a server.
type Address struct {
	IP string `json:"ip"`
}

// Image is an image that the cloud has.
type Image struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Status     string            `json:"status"`
	Bytes      int64             `json:"bytes"`
	Properties map[string]string `json:"properties"`
}

// Servers lists what is there, deleted servers not among it.
func (c Cloud) Servers(ctx context.Context) ([]Server, error) {
	var servers []Server
	return servers, c.get(ctx, "servers", &servers)
}

// Images lists the images.
func (c Cloud) Images(ctx context.Context) ([]Image, error) {
	var images []Image
	return images, c.get(ctx, "images", &images)
}

// Objects lists the objects, by container.
func (c Cloud) Objects(ctx context.Context) (map[string][]string, error) {
	var objects map[string][]string
	return objects, c.get(ctx, "objects", &objects)
}

// Calls counts the calls since the start or the last ForgetCalls, by service
// and operation, such as "compute POST /servers".
func (c Cloud) Calls(ctx context.Context) (map[string]int, error) {
	var calls map[string]int
	return calls, c.get(ctx, "calls", &calls)
}

// ForgetCalls starts counting anew.
func (c Cloud) ForgetCalls(ctx context.Context) error {
	_, _, err := Ask(ctx, http.MethodDelete, c.URL+"/sim/calls")
	return err
}

func (c Cloud) get(ctx context.Context, what string, into any) error {
	status, text, err := Ask(ctx, http.MethodGet, c.URL+"/sim/"+what)
	if err == nil && status != http.StatusOK {
		err = errors.New(http.StatusText(status))
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("ask %s for its %s: %w", c.Name, what, err)
	}
	return nil
}

// Ask makes one HTTP request and returns the status and the body.
func Ask(ctx context.Context, method, url string) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = answer.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

package openstackapi

import (
	"fmt"
	"net/http"
	"strconv"
)

// createdImage is the body of the action that makes an image of a server.
type createdImage struct {
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
}

// createImageOf makes an image of a server. Up to 2.44 its id is in Location.
func createImageOf(r *request, asked *createdImage) (answer, error) {
	img, err := r.region.cloud.SnapshotServer(r.now, r.path[1], asked.Name, asked.Metadata)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted, header: map[string]string{"Location": r.base + "/v2/images/" + img.ID}}, nil
}

// downloadImage sends the data of an image, or the part that is asked for.
func downloadImage(r *request) (answer, error) {
	data, err := r.region.cloud.ImageData(r.now, r.path[1])
	if err != nil {
		return answer{}, err
	}
	status, header := http.StatusOK, map[string]string{}
	var from, to int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err == nil && from <= to && to < len(data) {
		status = http.StatusPartialContent
		header["Content-Range"] = fmt.Sprintf("bytes %d-%d/%d", from, to, len(data))
		data = data[from : to+1]
	}
	header["Content-Type"], header["Content-Length"] = "application/octet-stream", strconv.Itoa(len(data))
	return answer{status: status, header: header, data: data}, nil
}

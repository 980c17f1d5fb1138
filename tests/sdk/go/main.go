// What the CloudEvents SDK of Go sends by default, by HTTP and on Kafka: one JSON line a message.
// go mod tidy && go run . > go.jsonl   (sdk-go v2.16.2, protocol/kafka_sarama v2.16.2)
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"time"

	"github.com/IBM/sarama"
	kafka "github.com/cloudevents/sdk-go/protocol/kafka_sarama/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
)

type completion struct {
	JobID       string   `json:"job_id"`
	AccountID   string   `json:"account_id"`
	Region      string   `json:"region"`
	Kinds       []string `json:"kinds"`
	DurationS   float64  `json:"duration_s"`
	CompletedAt string   `json:"completed_at"`
}

func put(door, mode string, headers [][2]string, body []byte) {
	line, _ := json.Marshal(map[string]any{
		"door": door, "mode": mode, "headers": headers, "body": base64.StdEncoding.EncodeToString(body)})
	fmt.Println(string(line))
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	data := completion{"sdk-go", "A", "ap-guangzhou", []string{"face"}, 3600, "2026-01-01T12:00:00+08:00"}
	for _, kind := range []string{"data", "bytes", "octets"} {
		event := cloudevents.NewEvent()
		event.SetID("7")
		event.SetType("recognition.job.completed.v1")
		event.SetSource("/sdk")
		event.SetTime(time.Date(2026, 1, 1, 4, 0, 0, 0, time.UTC))
		raw, _ := json.Marshal(data)
		switch kind {
		case "data":
			must(event.SetData(cloudevents.ApplicationJSON, data))
		case "bytes":
			must(event.SetData(cloudevents.ApplicationJSON, raw))
		case "octets":
			must(event.SetData("application/octet-stream", raw))
		}
		for _, mode := range []string{"binary", "structured"} {
			if mode == "binary" && kind == "octets" {
				continue // its media type would not be JSON
			}
			encoding := binding.WithForceBinary
			if mode == "structured" {
				encoding = binding.WithForceStructured
			}
			byHTTP(encoding(context.Background()), mode+", "+kind, event)
			onKafka(encoding(context.Background()), mode+", "+kind, event)
		}
	}
}

func byHTTP(ctx context.Context, mode string, event cloudevents.Event) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var headers [][2]string
		for name, values := range r.Header {
			for _, value := range values {
				headers = append(headers, [2]string{strings.ToLower(name), value})
			}
		}
		sort.Slice(headers, func(i, j int) bool { return headers[i][0] < headers[j][0] })
		put("http", mode, headers, body)
		w.WriteHeader(202)
	}))
	defer server.Close()
	client, err := cloudevents.NewClientHTTP()
	must(err)
	if result := client.Send(cloudevents.ContextWithTarget(ctx, server.URL), event); cloudevents.IsUndelivered(result) {
		panic(result)
	}
}

func onKafka(ctx context.Context, mode string, event cloudevents.Event) {
	message := sarama.ProducerMessage{}
	must(kafka.WriteProducerMessage(ctx, binding.ToMessage(&event), &message))
	var headers [][2]string
	for _, header := range message.Headers {
		headers = append(headers, [2]string{string(header.Key), string(header.Value)})
	}
	sort.Slice(headers, func(i, j int) bool { return headers[i][0] < headers[j][0] })
	body, err := message.Value.Encode()
	must(err)
	put("kafka", mode, headers, body)
}

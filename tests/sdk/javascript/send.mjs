// What the CloudEvents SDK of JavaScript sends by default, by HTTP and on Kafka: one JSON line a message.
// npm install cloudevents@10.0.0 && node send.mjs > javascript.jsonl
import { CloudEvent, HTTP, Kafka } from "cloudevents";

const data = {
  job_id: "sdk-javascript", account_id: "A", region: "ap-guangzhou", kinds: ["face"], duration_s: 3600,
  completed_at: "2026-01-01T12:00:00+08:00",
};
const attributes = { type: "recognition.job.completed.v1", source: "/sdk", id: "7", time: "2026-01-01T04:00:00.000Z" };
const text = (value) => typeof value === "string" ? value : value instanceof Uint8Array ? Buffer.from(value) : JSON.stringify(value);

function put(door, mode, message) {
  const headers = Object.entries(message.headers).map(([name, value]) => [name, value ?? null]);
  const body = text(door === "http" ? message.body : message.value);
  console.log(JSON.stringify({ door, mode, headers, body: Buffer.from(body).toString("base64") }));
}

for (const [label, event] of [
  ["data", new CloudEvent({ ...attributes, data })],
  ["bytes", new CloudEvent({ ...attributes, datacontenttype: "application/json", data: new Uint8Array(Buffer.from(JSON.stringify(data))) })],
  ["typed", new CloudEvent({ ...attributes, datacontenttype: "application/json", data })],
]) {
  for (const [door, binding] of [["http", HTTP], ["kafka", Kafka]]) {
    put(door, `binary, ${label}`, binding.binary(event));
    put(door, `structured, ${label}`, binding.structured(event));
  }
}

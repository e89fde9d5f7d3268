/* A receiver of webhooks: FOLDER. Writes its port to FOLDER/port, and a line for each message to
 * FOLDER/messages: how it was answered, whether the signature is right, webhook-id, body. Answers what FOLDER/answer says
 * (a status; 0: nothing, the connection is closed). */
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";

const [folder] = process.argv.slice(2);

/* By the rules of the specification, from the secret as distillctl prints it. */
function signed(headers, body) {
  const key = Buffer.from(readFileSync(`${folder}/secret`, "utf8").trim().replace(/^whsec_/, ""), "base64");
  const age = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"]));
  const want = createHmac("sha256", key).update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`).digest();
  const got = Buffer.from((headers["webhook-signature"] ?? "").replace(/^v1,/, ""), "base64");

  return age < 300 && got.length === want.length && timingSafeEqual(got, want);
}

const server = createServer((request, response) => {
  const parts = [];

  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts).toString(), status = Number(readFileSync(`${folder}/answer`, "utf8"));
    const line = { status, signed: signed(request.headers, body), id: request.headers["webhook-id"], method: request.method,
      type: request.headers["content-type"], body: JSON.parse(body) };

    appendFileSync(`${folder}/messages`, `${JSON.stringify(line)}\n`);
    if (status === 0)
      return void request.socket.destroy();
    if (status === 302)
      response.setHeader("Location", `http://127.0.0.1:${server.address().port}/elsewhere`);
    if (status === 429)
      response.setHeader("Retry-After", "1000");
    response.writeHead(status).end(status < 300 ? "" : "not now");
  });
});

server.listen(0, "127.0.0.1", () => {
  writeFileSync(`${folder}/port.tmp`, String(server.address().port));
  renameSync(`${folder}/port.tmp`, `${folder}/port`);
});

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import isNumber from "is-number";

const { site } = JSON.parse(readFileSync(".output/site.json"));
createServer((request, response) => {
  response.end(request.url === "/health" ? "ok" : JSON.stringify({ number: isNumber(42), site }));
}).listen(process.env.PORT, process.env.HOST);

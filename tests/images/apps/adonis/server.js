import { createServer } from "node:http";
import isNumber from "is-number";

const server = createServer((request, response) => {
  response.end(JSON.stringify({ number: isNumber(42), migrated: process.env.MIGRATED, mode: process.env.NODE_ENV }));
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
server.listen(process.env.PORT, process.env.HOST);

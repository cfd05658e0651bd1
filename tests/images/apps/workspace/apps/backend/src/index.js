const { name } = require("@workspace/names");
const isNumber = require("is-number");

const server = require("node:http").createServer((request, response) => {
  response.end(JSON.stringify({ number: isNumber(42), name }));
});
process.on("SIGTERM", () => server.close(() => process.exit(0)));
server.listen(process.env.PORT);

const { mkdirSync, writeFileSync } = require("node:fs");
const isNumber = require("is-number");

mkdirSync("dist/assets", { recursive: true });
writeFileSync("dist/index.html", `<p>${isNumber(42)} ${process.env.VITE_API_URL}</p>\n`);
writeFileSync("dist/assets/app-1a2b3c.js", "// padding\n".repeat(500));

const answer = await fetch(`http://127.0.0.1:${process.env.PORT}/health`);
process.exit(process.argv[2] === "healthcheck" && answer.ok ? 0 : 1);

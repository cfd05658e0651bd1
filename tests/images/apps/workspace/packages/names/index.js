exports.name = "workspace";

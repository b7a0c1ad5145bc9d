"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.log = void 0;
const winston_1 = require("winston");
// SITUATION: the file transport makes ./logs in the working directory as it is constructed, and dies of EACCES where
// it may not.
exports.log = (0, winston_1.createLogger)({
    format: winston_1.format.combine(winston_1.format.timestamp(), winston_1.format.json()),
    transports: [new winston_1.transports.Console(), new winston_1.transports.File({ dirname: 'logs', filename: 'gestion.log' })],
});

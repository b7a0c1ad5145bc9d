"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.page = void 0;
// SITUATION: express is not declared by this service; it is there because @nestjs/platform-express depends on it.
const express_1 = require("express");
exports.page = (0, express_1.Router)();
exports.page.get('/', (_request, response) => {
    response.type('html').send('<h1>Wanzo administration</h1>');
});

"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.startService = void 0;
const core_1 = require("@nestjs/core");
/** Starts a service on `PORT`, or on its usual port, on every address. */
async function startService(module, usualPort, configure = () => { }) {
    const app = await core_1.NestFactory.create(module, { logger: ['error', 'warn', 'log'] });
    configure(app);
    app.enableShutdownHooks();
    const port = Number(process.env.PORT ?? usualPort);
    await app.listen(port, '0.0.0.0');
    console.log(`listening on ${port}`);
}
exports.startService = startService;

// SITUATION: express is not declared by this service; it is there because @nestjs/platform-express depends on it.
import { Router } from 'express';

export const page = Router();

page.get('/', (_request, response) => {
  response.type('html').send('<h1>Wanzo administration</h1>');
});

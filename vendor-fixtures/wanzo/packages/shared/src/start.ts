import { INestApplication, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

/** Starts a service on `PORT`, or on its usual port, on every address. */
export async function startService(
  module: Type<unknown>,
  usualPort: number,
  configure: (app: INestApplication) => void = () => {},
): Promise<void> {
  const app = await NestFactory.create(module, { logger: ['error', 'warn', 'log'] });
  configure(app);
  app.enableShutdownHooks();
  const port = Number(process.env.PORT ?? usualPort);
  await app.listen(port, '0.0.0.0');
  console.log(`listening on ${port}`);
}

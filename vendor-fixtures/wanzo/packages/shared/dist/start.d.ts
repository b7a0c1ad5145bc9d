import { INestApplication, Type } from '@nestjs/common';
/** Starts a service on `PORT`, or on its usual port, on every address. */
export declare function startService(module: Type<unknown>, usualPort: number, configure?: (app: INestApplication) => void): Promise<void>;

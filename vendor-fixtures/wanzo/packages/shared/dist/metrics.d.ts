import { MiddlewareConsumer, NestMiddleware, NestModule } from '@nestjs/common';
import { Registry } from 'prom-client';
export declare const registry: Registry<"text/plain; version=0.0.4; charset=utf-8">;
export declare class MetricsController {
    metrics(): Promise<string>;
}
export declare class CountRequests implements NestMiddleware {
    use(_request: unknown, _response: unknown, next: () => void): void;
}
export declare class MetricsModule implements NestModule {
    configure(consumer: MiddlewareConsumer): void;
}

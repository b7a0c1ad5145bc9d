import { DynamicModule } from '@nestjs/common';
import { Health } from '@wanzobe/types';
export declare class HealthController {
    private readonly service;
    constructor(service: string);
    health(): Health;
}
export declare class HealthModule {
    static of(service: string): DynamicModule;
}

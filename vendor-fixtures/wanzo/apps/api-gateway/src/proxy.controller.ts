import { BadGatewayException, Controller, Get, NotFoundException, Param } from '@nestjs/common';
import { registry } from '@wanzobe/shared';
// SITUATION: axios 0.27 here, 1.x in the other services: this one lies in apps/api-gateway/node_modules.
import axios from 'axios';
import { IsIn, IsString } from 'class-validator';
import { Counter } from 'prom-client';
import { v4 as uuid } from 'uuid';
import { upstreams } from './upstreams';

const failures = new Counter({
  name: 'upstream_failures_total',
  help: 'Upstreams that did not answer',
  registers: [registry],
});

class Upstream {
  @IsString()
  @IsIn(Object.keys(upstreams))
  service: string;
}

@Controller('api')
export class ProxyController {
  @Get('versions')
  versions(): Record<string, unknown> {
    return { axios: axios.VERSION, services: Object.keys(upstreams) };
  }

  @Get(':service/health')
  async health(@Param() { service }: Upstream): Promise<unknown> {
    const url = upstreams[service];
    if (!url) throw new NotFoundException(service);
    try {
      const answer = await axios.get(`${url}/health`, { timeout: 2000, headers: { 'x-request-id': uuid() } });
      return answer.data;
    } catch {
      failures.inc();
      throw new BadGatewayException(`${service} does not answer`);
    }
  }
}

import 'reflect-metadata';
import { Module, ValidationPipe } from '@nestjs/common';
import { HealthModule, MetricsModule, startService } from '@wanzobe/shared';
import { AuthController } from './auth.controller';
import { page } from './page';
import { Passwords } from './passwords';

@Module({
  imports: [HealthModule.of('admin-service'), MetricsModule],
  controllers: [AuthController],
  providers: [Passwords],
})
class AppModule {}

void startService(AppModule, 3001, (app) => {
  app.use('/console', page);
  app.useGlobalPipes(new ValidationPipe({ transform: true, whitelist: true }));
});

// SITUATION: a test that is compiled into dist with everything else. It imports @nestjs/testing, a dev dependency that
// no image holds; nothing that runs imports this file.
import 'reflect-metadata';
import { Test } from '@nestjs/testing';
import assert from 'node:assert';
import { test } from 'node:test';
import { balance } from './balance';

test('a balance is exact to the cent', async () => {
  const module = await Test.createTestingModule({ providers: [{ provide: 'balance', useValue: balance }] }).compile();
  assert.strictEqual(module.get('balance')(['0.10', '0.20']).amount, '0.30');
});

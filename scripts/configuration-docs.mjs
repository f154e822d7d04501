// Writes docs/configuration.md from the configuration's schema. Run after a build: node scripts/configuration-docs.mjs
import { writeFileSync } from 'node:fs';
import { documentSettings } from '../dist/src/config/index.js';

writeFileSync(new URL('../docs/configuration.md', import.meta.url), documentSettings());

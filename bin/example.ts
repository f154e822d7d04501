import { DEFAULT_URL, runExample } from '../src/embedded/example.js';

const [url = DEFAULT_URL] = process.argv.slice(2);

try {
  await runExample(url, (text) => console.log(text));
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  const hint =
    code === 'ECONNREFUSED' ? '\nIs the proxy running? Start it in another terminal with: npm start' : '';
  console.error(`example: ${message || code}${hint}`);
  process.exitCode = 1;
}

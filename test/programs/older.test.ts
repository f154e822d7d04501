import { testedMajors } from '../support/majors.js';
import { testPrograms } from './suite.js';

for (const major of testedMajors()) if (major !== 18) testPrograms(major);

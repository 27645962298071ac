// Modules only make pages quicker: every control works without them.

import { startCopying } from "./copy.js";
import { startKeys } from "./keys.js";
import { startLive } from "./live.js";
import { startMatrix } from "./matrix.js";
import { startSwapping } from "./swap.js";
import { startThreshold } from "./threshold.js";

startCopying();
startSwapping();
startMatrix();
startThreshold();
startKeys();
startLive();

/**
 * @file AuraEdge.h
 * @brief The whole core: include this, compile every .c file of this folder, and talk to AuraEdgeBridge.
 *
 * Portable C99. No allocation, no hardware, nothing global that changes. Every function is called from one context (the main
 * loop or one task); what interrupts receive they hand over through AuraEdgeByteQueue.
 */

#ifndef AURA_EDGE_H
#define AURA_EDGE_H

//------------------------------------------------------------------------------
// Includes

#include "AuraEdgeBridge.h"
#include "AuraEdgeByteQueue.h"
#include "AuraEdgeClock.h"
#include "AuraEdgeFrame.h"
#include "AuraEdgeMessages.h"
#include "AuraEdgeReceiver.h"
#include "AuraEdgeRing.h"

#endif

//------------------------------------------------------------------------------
// End of file

package planner

// expire lets go of what no rule keeps.
func (b *builder) expire(x backupRules, cat *CatalogFact, taken string) {}

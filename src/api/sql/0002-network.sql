-- Network counters. Their letters in usage_sources follow that of pids_current, in this order; rows of before have
-- none, which means that they are not known.
--
-- Loopback is in no counter but its own, and so not in network_mb.

ALTER TABLE task_registry ADD COLUMN net_rx_bytes INTEGER;
ALTER TABLE task_registry ADD COLUMN net_tx_bytes INTEGER;
ALTER TABLE task_registry ADD COLUMN net_rx_packets INTEGER;
ALTER TABLE task_registry ADD COLUMN net_tx_packets INTEGER;
ALTER TABLE task_registry ADD COLUMN net_loopback_rx_bytes INTEGER;
ALTER TABLE task_registry ADD COLUMN net_loopback_tx_bytes INTEGER;

ALTER TABLE task_attempts ADD COLUMN net_rx_bytes INTEGER;
ALTER TABLE task_attempts ADD COLUMN net_tx_bytes INTEGER;
ALTER TABLE task_attempts ADD COLUMN net_rx_packets INTEGER;
ALTER TABLE task_attempts ADD COLUMN net_tx_packets INTEGER;
ALTER TABLE task_attempts ADD COLUMN net_loopback_rx_bytes INTEGER;
ALTER TABLE task_attempts ADD COLUMN net_loopback_tx_bytes INTEGER;

ALTER TABLE task_resource_snapshots ADD COLUMN net_rx_bytes INTEGER;
ALTER TABLE task_resource_snapshots ADD COLUMN net_tx_bytes INTEGER;
ALTER TABLE task_resource_snapshots ADD COLUMN net_rx_packets INTEGER;
ALTER TABLE task_resource_snapshots ADD COLUMN net_tx_packets INTEGER;
ALTER TABLE task_resource_snapshots ADD COLUMN net_loopback_rx_bytes INTEGER;
ALTER TABLE task_resource_snapshots ADD COLUMN net_loopback_tx_bytes INTEGER;

ALTER TABLE task_registry ADD COLUMN
  network_mb REAL GENERATED ALWAYS AS ((net_rx_bytes + net_tx_bytes) / 1048576.0) VIRTUAL;

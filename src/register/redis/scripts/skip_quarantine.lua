redis.call('HSET', partition, 'quar', 0)
return {now, 'ok'}
